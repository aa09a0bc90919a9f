//! French.

use common::domain::left_out::LeftOutReason;
use common::domain::outcome::JobOutcome;

use super::{Confirmation, Said, Words, say, size};

pub(super) static WORDS: Words = Words {
    your_request: "votre demande",
    look: "Voir l’aperçu",
    look_live: "Voir le site",
    touched: "Pages et fichiers concernés :",
    and_more: |count| format!("et {count} de plus"),
    left_out: "Ces fichiers n’ont pas pu être utilisés :",
    why_left_out,
    outcome,
    changed_by_editor: "Quelque chose ne va pas encore ? Répondez en disant quoi. Pour la mise en ligne, adressez-vous à la personne qui s’occupe du site.",
    acknowledged: say(
        "Votre message est arrivé et il est en cours de traitement.",
        "Cela prend un peu plus de temps que d’habitude ; la réponse suivra dès que ce sera prêt. Pour arrêter, répondez avec le seul mot « stop ».",
    ),
    which_site: say(
        "De quel site parlez-vous ?",
        "Merci de renvoyer votre message à l’adresse du site concerné.",
    ),
    write_to: |site, address| format!("{site} : écrivez à {address}"),
    what_to_do: say(
        "Votre message est arrivé sans texte.",
        "Merci d’écrire ce qui doit changer sur votre site.",
    ),
    unknown_sender: say(
        "Nous ne connaissons pas cette adresse.",
        "Personne n’y est enregistré, rien n’a donc été fait. Écrivez depuis l’adresse enregistrée pour votre site, ou demandez à la personne qui s’en occupe d’ajouter celle-ci.",
    ),
    not_permitted: say(
        "Cela n’est pas permis depuis votre adresse.",
        "Rien n’a été modifié. Demandez ce droit à la personne qui s’occupe du site.",
    ),
    rate_limited: say(
        "Cela fait beaucoup de messages en peu de temps.",
        "Ce message et les suivants pendant une heure ne sont pas traités. Merci de le renvoyer plus tard.",
    ),
    no_site: say(
        "Votre site n’est pas configuré pour le moment.",
        "Rien n’a été modifié. Merci de vous adresser à la personne qui s’en occupe.",
    ),
    nothing_to_stop: say(
        "Il n’y avait rien à arrêter.",
        "Aucun travail n’était en cours ni en attente dans cette conversation. Répondez à ce message pour en demander un.",
    ),
    done_before_stopped: say(
        "Le travail était terminé avant de pouvoir être arrêté.",
        "Le résultat se trouve dans le message correspondant. Répondez à celui-là si quelque chose doit être différent.",
    ),
    status_idle: say(
        "Rien n’est en cours.",
        "Répondez à ce message en disant ce qui doit changer sur votre site.",
    ),
    status_busy: say(
        "Voici ce qui est en cours pour vous :",
        "Pour arrêter, répondez au message concerné avec le seul mot « stop ».",
    ),
    running: |subject, minutes| match minutes {
        0 => format!("« {subject} », commencé à l’instant"),
        1 => format!("« {subject} », depuis une minute"),
        _ => format!("« {subject} », depuis {minutes} minutes"),
    },
    waiting: |subject| format!("« {subject} », attend son tour"),
    help: say(
        "Comment modifier votre site par e-mail",
        "Vous pouvez joindre des images et des documents. Les messages d’une conversation s’appuient les uns sur les autres ; un nouveau message en commence une nouvelle.",
    ),
    help_orders: &[
        "Écrivez avec vos propres mots ce qui doit changer. La réponse montre un aperçu.",
        "Répondez à la réponse pour continuer à partir de là.",
    ],
    help_live: &[
        "« publier » met en ligne ce que montre l’aperçu.",
        "« annuler » revient à la version précédente.",
    ],
    help_commands: &[
        "« stop » comme seul mot arrête ce qui est en cours dans la conversation.",
        "« statut » dit ce qui est en cours.",
        "« aide » affiche cette liste.",
    ],
    which_preview: say(
        "Quelle modification faut-il mettre en ligne ?",
        "Répondez avec le seul mot « publier » au message dont vous voulez l’aperçu.",
    ),
    published: say(
        "Votre modification est en ligne.",
        "Vous voulez retrouver la version d’avant ? Répondez à ce mail par le seul mot « annuler ».",
    ),
    replaced: say(
        "Votre modification est en ligne, à la place d’une autre.",
        "Vous voulez retrouver la version d’avant ? Répondez à ce mail par le seul mot « annuler ». Vous voulez les deux ? Répondez et dites ce qui manque.",
    ),
    replaced_what: |subject| {
        let whose =
            subject.map_or("une autre conversation".to_owned(), |it| format!("la conversation « {it} »"));
        format!("Ce que {whose} avait mis en ligne n’en fait pas partie : vos visiteurs ne le voient plus.")
    },
    undone: say(
        "Vos visiteurs voient de nouveau la version d’avant.",
        "Ce n’était pas voulu ? Répondez encore une fois par le seul mot « annuler » et ce sera repris.",
    ),
    live_unchanged: say(
        "Il n’y avait rien à changer sur le site en ligne.",
        "Si vous attendiez autre chose, répondez à ce mail et dites quoi.",
    ),
    not_switched: say(
        "Le site en ligne n’a pas pu être changé.",
        "Rien n’est perdu : l’aperçu est resté le même. Répondez par le même mot pour réessayer.",
    ),
    not_undone: say(
        "Le site en ligne n’a pas pu être remis à la version d’avant.",
        "Regardez-le dans quelques minutes. Seulement s’il montre encore la version qui doit disparaître, répondez encore une fois par le seul mot « annuler ».",
    ),
    switching: say(
        "Le site en ligne est en train d’être changé.",
        "Cela a commencé et continue tout seul ; ce sera terminé dans quelques minutes. Merci de ne pas le redemander.",
    ),
    preview_changed: say(
        "L’aperçu a changé depuis que vous avez écrit.",
        "Rien n’a été mis en ligne. Regardez l’aperçu ; s’il vous convient, répondez à ce mail par le seul mot « publier ».",
    ),
    never_shown: say(
        "L’aperçu montre un travail qui n’a pas été mené à son terme.",
        "Rien n’a été mis en ligne. Répondez « montre à nouveau l’aperçu » ou écrivez ce que vous voulez ; ce qui vous sera montré alors pourra être mis en ligne.",
    ),
    not_pushed: say(
        "La modification est faite, mais elle n’est pas encore dans la source de votre site.",
        "Ce n’était pas possible à l’instant. Votre modification est conservée et y arrivera avec votre prochain message dans cette conversation ; inutile de l’écrire à nouveau. Ce que voient les visiteurs est inchangé.",
    ),
    aside: |branch| {
        format!(
            "Une partie du travail de cette conversation n’était pas encore dans la source de votre site quand quelqu’un d’autre y a modifié les \
             mêmes lignes. Rien n’a été écrasé : elle n’est pas dans ce qui est affiché maintenant, et elle est conservée sur la branche {branch}."
        )
    },
    live_changed: say(
        "Le site en ligne a changé depuis que vous avez écrit.",
        "Quelqu’un d’autre a mis en ligne une autre version, rien n’a donc été annulé. Regardez le site ; si vous voulez quand même la version d’avant, répondez à ce mail par le seul mot « annuler ».",
    ),
    confirm: Confirmation {
        mail: say(
            "Avez-vous écrit ce message ?",
            "Il n’est pas certain que ce message vienne de vous et soit destiné à votre site ; rien n’a donc encore été fait. Ouvrez le lien pour voir ce qui serait fait et confirmez-le là. Si vous ne l’avez pas écrit, vous n’avez rien à faire.",
        ),
        open: "Voir et confirmer",
        page_title: "Ce message vient-il de vous ?",
        page_site: "Site",
        page_from: "De",
        page_subject: "Objet",
        page_instruction: "Ce qui serait fait",
        page_files: "Fichiers joints qui seraient utilisés",
        page_size: |bytes| size(bytes, ["Ko", "Mo"], ','),
        page_button: "Oui, allez-y",
        page_hint: "Rien ne se passe avant que vous n’appuyiez sur le bouton. Si vous n’avez pas écrit ce message, fermez simplement cette page.",
        done: say("Merci.", "Vous recevrez une réponse par e-mail. Vous pouvez fermer cette page."),
        gone: say(
            "Ce lien n’est plus valable.",
            "Il est trop ancien, ou il en manque une partie. Si votre message est resté sans réponse, merci de le renvoyer.",
        ),
    },
};

fn outcome(outcome: Option<JobOutcome>) -> Said {
    match outcome {
        Some(JobOutcome::Changed) => say(
            "Votre site a été modifié.",
            "Pour la mettre en ligne, répondez avec le seul mot « publier ». Quelque chose ne va pas encore ? Répondez en disant quoi.",
        ),
        Some(JobOutcome::Answered) => say(
            "Il n’y avait rien à modifier.",
            "Si vous pensiez à autre chose, répondez à ce message en précisant quoi.",
        ),
        Some(JobOutcome::Question) => {
            say("Une question avant de modifier votre site.", "Merci de répondre à ce message.")
        }
        Some(JobOutcome::Stopped) => say(
            "Le travail a été arrêté.",
            "Ce qui était fait est conservé. Répondez à ce message pour continuer à partir de là.",
        ),
        Some(JobOutcome::Interrupted) => {
            say("Votre message plus récent passe d’abord.", "Celui-ci est repris juste après.")
        }
        Some(JobOutcome::BudgetExhausted) => say(
            "C’était plus de travail qu’un passage ne le permet.",
            "Ce qui était fait est conservé. Répondez à ce message pour continuer, de préférence une chose à la fois.",
        ),
        Some(JobOutcome::BuildFailed) => say(
            "La modification a été faite, mais le site ne peut pas être généré avec elle.",
            "Ce que voient les visiteurs est inchangé. Répondez à ce message en disant ce qui doit être différent, ou demandez à la personne qui s’occupe de votre site.",
        ),
        Some(JobOutcome::PublishFailed) => say(
            "La modification a été faite, mais l’aperçu n’a pas pu être mis en ligne.",
            "Ce que voient les visiteurs est inchangé et votre modification est conservée. Répondez à ce message pour réessayer.",
        ),
        Some(JobOutcome::PushConflict) => say(
            "Quelqu’un d’autre a modifié le même endroit entre-temps.",
            "Les deux versions sont conservées. Demandez à la personne qui s’occupe de votre site laquelle doit rester.",
        ),
        Some(JobOutcome::Refused) => say(
            "Cela n’a pas pu être fait.",
            "Votre site est inchangé. Demandez à la personne qui s’en occupe ; elle trouvera la raison sous l’identifiant au bas de ce message.",
        ),
        Some(JobOutcome::AgentFailed) => say(
            "La modification n’a pas pu être faite.",
            "Votre site est inchangé. Répondez à ce message pour réessayer, peut-être en d’autres termes.",
        ),
        Some(JobOutcome::Failed) | None => say(
            "Quelque chose s’est mal passé de notre côté.",
            "Votre site est inchangé. Répondez à ce message pour réessayer ; si cela se reproduit, demandez à la personne qui s’occupe de votre site.",
        ),
    }
}

fn why_left_out(reason: LeftOutReason) -> &'static str {
    match reason {
        LeftOutReason::Empty => "il est vide",
        LeftOutReason::TooLarge => "il dépasse 25 Mo",
        LeftOutReason::TooMany => "un message peut apporter 20 fichiers",
        LeftOutReason::Program => "c’est un programme",
        LeftOutReason::PictureKind => {
            "ce type d’image (HEIC, TIFF, AVIF ou brut) ne peut pas être utilisé ; envoyez-la en JPEG"
        }
        LeftOutReason::TooManyPixels => "l’image a trop de pixels ; envoyez-la plus petite",
        LeftOutReason::OutlookPack => {
            "Outlook y a emballé les pièces jointes dans un format qui lui est propre ; renvoyez le message en HTML ou en texte brut"
        }
        LeftOutReason::Unreadable => "il est endommagé ou illisible",
    }
}
